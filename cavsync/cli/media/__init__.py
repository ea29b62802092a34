"""Commands that read media files and write what a model finds in them: `embed`, `tag`, `locate`."""
