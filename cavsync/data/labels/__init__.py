"""Labels of clips: the vocabulary of a data set, and `labels.csv` of a folder of videos."""
