"""Old models behind somebody's endpoint: asked while their provider still runs them, recorded to compare with."""
