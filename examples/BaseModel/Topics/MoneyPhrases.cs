namespace BaseModel.Topics;

internal static class MoneyPhrases
{
    public static readonly Topic Topic = new(
        "money",
        Train: new(
            [
                "the rich banker", "a thrifty merchant", "the city treasurer", "our bookkeeper",
                "every taxpayer", "the careful cashier", "the poor debtor", "a foreign lender",
                "the gold dealer", "the greedy miser", "the customs collector", "the bank president",
                "the shrewd trader", "a wealthy landlord", "the bond broker", "the village storekeeper",
            ],
            [
                "paid the debt in gold", "counted the dollars twice",
                "borrowed a thousand dollars", "bought the bonds at a discount",
                "raised the price of wheat", "lent coins at high interest",
                "balanced the yearly budget", "collected the unpaid taxes",
                "put the wages into the bank", "spent every penny on land",
                "sold the bonds for a profit", "owed a large debt to the bank",
                "saved ten cents a day", "asked for a loan of fifty dollars",
                "reduced the tax upon coffee", "weighed the gold coins",
            ],
            [
                "at the bank", "before the interest came due", "for less than a dollar", "when prices fell",
                "to cover the debt", "out of the treasury", "at the end of the fiscal quarter", "without paying the taxes",
                "in spite of the loan", "by cashing a check", "after the panic in bonds", "because wages were low",
            ]),
        HeldOut: new(
            [
                "the investors", "a financial agent", "the revenue commissioner", "the mint director",
                "the stockholders", "the creditors", "a savings institution", "the Finance committee",
            ],
            [
                "redeemed the paper currency", "deposited silver in reserve",
                "reported a deficit of several millions", "revised the tariff on imports",
                "increased the annual expenditures", "estimated the surplus revenue",
                "funded the capital outlay", "refunded the excess payments",
            ],
            [
                "to curb inflation", "under the first appropriation", "at four per cent",
                "from the sinking fund", "with no further credit", "for the sake of income",
            ]));
}
