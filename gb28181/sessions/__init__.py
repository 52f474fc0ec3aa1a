"""One INVITE dialog with its media, asked for and served: live, playback, download, talk."""
