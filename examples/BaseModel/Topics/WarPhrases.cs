namespace BaseModel.Topics;

internal static class WarPhrases
{
    public static readonly Topic Topic = new(
        "war",
        Train: new(
            [
                "the brave soldier", "a wounded colonel", "the victorious general", "our regiment",
                "every rifleman", "the army surgeon", "the enemy scout", "a loyal sergeant",
                "the conquering army", "the company drummer", "the bold lieutenant", "a captured spy",
                "the camp sentry", "the veteran gunner", "an allied brigade", "the young trooper",
            ],
            [
                "fought the enemy hand to hand", "marched toward the battle",
                "charged the trenches with bayonets", "stormed the walls of the fort",
                "loaded a musket and fired", "retreated across the bloody field",
                "dragged the cannon up the hill", "buried the dead soldiers",
                "defended the bridge against the enemy", "laid siege to the fortress",
                "carried the flag into battle", "cheered the news of victory",
                "drilled with sword and rifle", "blew up the powder magazine",
                "waited for the troops to advance", "ambushed a column of troops",
            ],
            [
                "under heavy gunfire", "until the enemy fled", "outside the besieged town", "behind the trenches",
                "as the bugle sounded", "through the smoke of cannon", "while the army rested in camp", "with bayonets fixed",
                "on the third day of battle", "beside a fallen soldier", "for the glory of victory", "in the ranks of the troops",
            ]),
        HeldOut: new(
            [
                "the infantry", "a cavalry squadron", "the artillery officers", "the commander",
                "the rebels", "the armed forces", "the state militia", "a Union battalion",
            ],
            [
                "repelled the hostile invasion", "surrendered the weapons",
                "bombed the military bases", "attacked Nazi strongholds",
                "destroyed the tanks of the aggressor", "inflicted a crushing defeat",
                "launched a fierce assault", "suffered terrible casualties",
            ],
            [
                "throughout the campaign", "in Vietnam", "in bitter combat",
                "against the insurgents", "during the bombardment", "before the armistice",
            ]));
}
