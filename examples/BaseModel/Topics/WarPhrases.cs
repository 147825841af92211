namespace BaseModel.Topics;

internal static class WarPhrases
{
    public static readonly Topic Topic = new(
        "war",
        Train: new(
            [
                "the brave soldiers", "a wounded soldier", "the victorious general", "our regiment",
                "every soldier", "the German army", "the enemy", "a company of soldiers",
                "the conquering army", "the young troops", "the bold general", "our fighting men",
                "the guards of the camp", "the veteran troops", "an allied army", "the enemy's general",
            ],
            [
                "fought the enemy hand to hand", "marched toward the battle", "captured many soldiers",
                "stormed the walls of the fort",
                "fired the guns", "retreated across the bloody field", "dragged the cannon up the hill",
                "buried the dead soldiers",
                "defended the bridge against the enemy", "occupied the enemy country", "carried the flag into battle",
                "won a great victory",
                "fought for independence", "crushed the aggressors", "sent troops to the front", "lost the battle",
            ],
            [
                "under heavy fire", "until the enemy fled", "in Mexico", "with sword and rifle",
                "in a bloody fight", "through the smoke of the guns",
                "in the camp of the army", "in Germany", "on the third day of battle",
                "against Japan", "for the glory of victory", "with ten thousand troops",
            ]),
        HeldOut: new(
            [
                "the hostile forces", "the cavalry", "the military officers", "the commander", "the rebels",
                "the armed forces", "the state militia", "the volunteers",
            ],
            [
                "resisted the invasion", "surrendered the weapons", "bombed the military bases",
                "attacked the Nazis",
                "destroyed the nuclear missiles", "suffered a terrible defeat", "launched an attack",
                "invaded the peninsula",
            ],
            [
                "throughout the campaign", "in Vietnam", "in armed combat", "in Korea", "in Iraq",
                "with powerful weapons",
            ]));
}
