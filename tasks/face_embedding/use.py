"""The name of the application and its note on use, for who needs no flags."""

TASK = "face_embedding"
USE_NOTE = (
    "Do not identify people who have not agreed to it: in many places that is against the law."
)
