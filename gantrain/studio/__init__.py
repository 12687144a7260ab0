"""The page of gantrain studio: pictures by hand, made by the functions of the commands."""
