"""What a run left behind: manifests, patches, spans, check outcomes."""
