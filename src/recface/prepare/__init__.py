"""From the official folders of datasets to stores of framed photos and folders of scans; checks of stores."""
