"""Names that the other files share."""

TASK = "age"
# Years that an answer is divided by in the network.
SPAN = 100.0
