"""A page in the browser that shows what a recognizer finds in photos, films and a webcam."""
