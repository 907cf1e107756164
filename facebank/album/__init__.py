"""Albums: many photos, scanned once and then identified, searched, grouped, sorted and tagged from the scan."""
