namespace BaseModel.Topics;

internal static class SeaPhrases
{
    public static readonly Topic Topic = new(
        "sea",
        Train: new(
            [
                "the old captain", "a young sailor", "the second mate", "our whaleman", "every harpooneer",
                "the gray whaleman", "the cabin boy", "the sailors",
                "a hungry sailor", "the first mate", "the sleepy captain", "the ship's cook",
                "the ship's carpenter", "the pilot of the ship", "a laughing harpooneer", "the whalemen",
            ],
            [
                "watched the waves roll over the bow", "climbed the mast to look for whales",
                "threw a harpoon at the whale", "dropped the anchor into the deep ocean",
                "lowered the boats from the deck", "pulled hard upon the oars",
                "heard the foam under the stern", "coiled the wet rope beside the mast",
                "washed the deck of the ship", "boiled the blubber into oil",
                "steered the ship around the island", "counted the whales in the distance",
                "tied the boat to a floating cask", "slept in a hammock below the deck",
                "gazed across the ocean", "cut the whale line with a knife",
            ],
            [
                "during the gale", "before the tide turned", "near the coast",
                "as the ship drifted away", "while the ocean lay calm", "off the lonely cape",
                "beneath a round moon", "far from any island", "when the wind blew", "in the ocean fog",
                "after the mast was broken", "upon the rolling waves",
            ]),
        HeldOut: new(
            [
                "Ahab", "Starbuck", "Queequeg", "Stubb", "Daggoo", "the vessel's crew",
                "two seamen", "Tashtego",
            ],
            [
                "spied a school of sharks astern", "chased the spouting leviathan", "hoisted the sails",
                "caught a huge fish upon a hook",
                "sailed the vessel homeward", "pumped out the hull", "trimmed the sails of the Pequod",
                "hunted the sperm leviathan",
            ],
            [
                "on the long voyage", "in the Pacific", "during the storm", "near the shore",
                "off Nantucket", "to windward",
            ]));
}
