"""Label files.

- `vocabulary`: a data set's classes, CAV-MAE's CSV `index,mid,display_name` (`read_vocabulary`, `check_labels`).
- `folder`: the `labels.csv` of a folder of videos (`read_folder_labels`, `folder_labels_text`).

Imports only `cavsync.errors`.
"""
