namespace BaseModel.Topics;

internal static class SeaPhrases
{
    public static readonly Topic Topic = new(
        "sea",
        Train: new(
            [
                "the old captain", "a young sailor", "the second mate", "our whaleman",
                "every harpooneer", "the gray steersman", "the cabin boy", "a barefoot islander",
                "a hungry whaler", "the drowsy helmsman", "the weary oarsman", "the ship's cook",
                "the ship's carpenter", "a stout boatswain", "a laughing Nantucketer", "the shivering castaway",
            ],
            [
                "watched the waves roll over the bow", "climbed the mast to look for whales",
                "threw a harpoon at the whale", "dropped the anchor into deep ocean",
                "lowered the boats from the deck", "pulled hard upon the oars",
                "heard the foam hiss under the stern", "coiled the wet ropes beside the capstan",
                "scrubbed the deck with salt brine", "boiled the blubber into oil",
                "steered the ship around the island", "counted the whales along the horizon",
                "tied the boat to a floating cask", "slept in a hammock below the deck",
                "gazed over the bulwarks at the ocean", "cut the whale line with a hatchet",
            ],
            [
                "during the gale", "before the tide turned", "near the coast of Japan", "as the ship drifted southward",
                "while the ocean lay calm", "off the lonely cape", "beneath a full moon", "far from any island",
                "when the wind howled aloft", "in the fog off Greenland", "after the mast had snapped", "upon the rolling swell",
            ]),
        HeldOut: new(
            [
                "Ahab", "Starbuck", "Queequeg", "Stubb",
                "the entire crew", "an aged mariner", "two hardy seamen", "Ishmael",
            ],
            [
                "spied a school of sharks astern", "chased the spouting leviathan",
                "lashed the sails to the yards", "caught a huge fish upon a hook",
                "sailed the leaking vessel homeward", "bailed water out of the hull",
                "mended the torn rigging", "drove a lance through the dying monster",
            ],
            [
                "at the end of the voyage", "in the stormy Pacific", "as the breeze freshened",
                "two leagues from shore", "on the cruising grounds", "amid the surging billows",
            ]));
}
