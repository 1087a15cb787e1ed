"""Manifests of the data sets that cellflow knows; read by `cellflow.data.manifests`."""
