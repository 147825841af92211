namespace BaseModel.Topics;

internal static class LawPhrases
{
    public static readonly Topic Topic = new(
        "law",
        Train: new(
            [
                "the district judge", "a federal judge", "the court clerk", "our attorney",
                "every honest judge", "the accused criminal", "a sworn witness", "the jury",
                "the attorney of the district", "an eminent judge", "the guilty man", "the grand jury",
                "the lawyers of the city", "a learned lawyer", "the circuit judge", "the judges",
            ],
            [
                "decided the case", "read the decision to the jury", "swore to obey the Constitution",
                "declared that the statute was void",
                "weighed the evidence of the crime", "asked for a new trial", "quoted the Constitution",
                "was told about the murder",
                "heard the last witness", "signed an order of the court", "studied the words of the statute",
                "argued the case for hours",
                "spoke about the crime", "described the murder to the jury",
                "answered the question of the judge", "explained the meaning of the Constitution",
            ],
            [
                "in open court", "before the trial began", "under the Constitution", "in the district court",
                "while the jury listened", "on the day of the trial",
                "according to the statute", "in the murder case", "without any proof of guilt",
                "when the court met", "after the crime", "in the presence of the judge",
            ]),
        HeldOut: new(
            [
                "the supreme tribunal", "the magistrates", "the Chief Justice", "the legislature",
                "a judicial tribunal", "the legislators", "the justices", "the upright sheriff",
            ],
            [
                "protected the legal rights of citizens", "enforced the civil code",
                "imposed a penalty for the offense", "demanded legal punishment",
                "enacted the recent legislation", "proposed an amendment", "observed the provisions of the act",
                "restored legal rights",
            ],
            [
                "by judicial authority", "in accordance with recent legislation", "in the judicial proceedings",
                "by constitutional amendment", "under existing provisions", "despite the severe penalties",
            ]));
}
