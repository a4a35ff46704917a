"""Images with a class each: folders, lists, and the layouts of public sets."""
