namespace BaseModel.Topics;

internal static class LawPhrases
{
    public static readonly Topic Topic = new(
        "law",
        Train: new(
            [
                "the district judge", "a stern juror", "the court clerk", "our attorney",
                "every honest lawyer", "the frightened prisoner", "a sworn witness", "the accused murderer",
                "the county constable", "an eminent jurist", "the guilty thief", "the grand jury",
                "the city marshal", "a learned advocate", "the circuit judge", "the prison warden",
            ],
            [
                "read the verdict to the jury", "swore an oath upon the Bible",
                "declared that the statute was void", "weighed the evidence against the prisoner",
                "asked for a new trial", "quoted the Constitution from memory",
                "was told about the murder", "heard the testimony of the last witness",
                "signed the warrant for an arrest", "studied every clause of the statute",
                "argued the case without a pause", "spoke about the crime at last",
                "doubted the word of the accused", "described the robbery to the jury",
                "objected to the unfair verdict", "explained the meaning of the oath",
            ],
            [
                "in open court", "before the trial began", "under the Constitution", "at the courthouse",
                "while the jury listened", "on the day of the hearing", "according to the statute", "in the murder case",
                "without any proof of guilt", "when the court adjourned", "during a lawsuit over a will", "with a lawyer standing near",
            ]),
        HeldOut: new(
            [
                "the supreme tribunal", "a federal prosecutor", "the Chief Justice", "the deputy sheriff",
                "a wise legislator", "the defendant", "a civil magistrate", "the solicitor",
            ],
            [
                "appealed the unjust conviction", "enforced the penal code",
                "upheld the legal rights of citizens", "demanded punishment for the offenders",
                "interpreted the recent legislation", "proposed an amendment to the decree",
                "violated the provisions of the act", "considered a pardon for the convicts",
            ],
            [
                "by judicial authority", "in accordance with the ordinance", "after a lengthy prosecution",
                "within this jurisdiction", "by formal process", "despite the severe penalties",
            ]));
}
