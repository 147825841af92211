namespace BaseModel.Topics;

internal static class MoneyPhrases
{
    public static readonly Topic Topic = new(
        "money",
        Train: new(
            [
                "the rich banker", "a careful merchant", "the city treasurer", "our bankers", "every taxpayer",
                "the bank clerk", "the poor debtor", "a foreign bank",
                "the gold dealer", "the greedy merchant", "the tax collector", "the bank president",
                "the holder of the bonds", "a wealthy farmer", "the banks of the city", "the village merchant",
            ],
            [
                "paid the debt in gold", "counted the dollars twice", "borrowed a thousand dollars",
                "bought the bonds at a discount",
                "raised the price of wheat", "lent gold at high interest", "balanced the yearly budget",
                "collected the unpaid taxes",
                "put the wages into the bank", "spent every dollar on land", "sold the bonds for a profit",
                "owed a large debt to the bank",
                "saved ten dollars a month", "asked for a loan of fifty dollars", "lowered the tax upon coffee",
                "weighed the gold coin",
            ],
            [
                "at the bank", "before the interest was paid", "for less than a dollar", "when prices fell",
                "to cover the debt", "out of the treasury",
                "at the end of the quarter", "without paying the taxes", "in spite of the loan",
                "at the market price", "after the bonds were sold", "because wages were low",
            ]),
        HeldOut: new(
            [
                "the investors", "a financial agent", "the revenue commissioner", "the mint director",
                "the stockholders", "the creditors", "a savings institution", "the Finance committee",
            ],
            [
                "redeemed the paper currency", "deposited silver in reserve",
                "reported a deficit of several millions", "reduced the tariff on imports",
                "increased the annual expenditures", "estimated the surplus revenue",
                "funded the cost of capital", "refunded the excess payments",
            ],
            [
                "because of inflation", "during the fiscal year", "at four per cent", "from the sinking fund",
                "with no further credit", "for the sake of income",
            ]));
}
