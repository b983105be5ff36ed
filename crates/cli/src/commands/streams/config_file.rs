//! What of an edge's configuration concerns streams, so that there is one place where durable
//! namespaces are declared.

use crate::exit::Error;
use meridian_edge::Config;
use meridian_nats::ServerUrl;
use meridian_nats::streams::DurableNamespace;
use std::path::Path;

/// What the streams of a mesh follow from.
#[derive(Debug, PartialEq)]
pub(super) struct StreamsFile {
    /// The preferred NATS server.
    pub(super) server: ServerUrl,
    /// Every region of the mesh.
    pub(super) regions: Vec<String>,
    /// The durable ones only.
    pub(super) namespaces: Vec<DurableNamespace>,
}

impl StreamsFile {
    /// Reads the configuration as an edge would, `MERIDIAN__…` variables included.
    ///
    /// # Errors
    /// [`Error::Config`], and [`Error::Usage`] with every namespace that cannot have streams.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let config = Config::load(Some(path)).map_err(Error::Config)?;
        let servers = config
            .nats_servers()
            .map_err(|error| Error::Usage(format!("nats.servers: {error}")))?;
        // The configuration has been checked: there is one.
        let Some(server) = servers.into_iter().next() else {
            return Err(Error::Usage("nats.servers: empty".into()));
        };
        let namespaces = config.durable_namespaces();
        let regions = regions(config);
        let checks = namespaces.iter().map(|namespace| namespace.check(&regions));
        let mistakes: Vec<String> =
            checks.filter_map(|check| Some(check.err()?.to_string())).collect();
        if mistakes.is_empty() {
            return Ok(Self { server, regions, namespaces });
        }
        let mistakes = mistakes.join("\n  - ");
        Err(Error::Usage(format!("{} cannot be used:\n  - {mistakes}", path.display())))
    }

    /// A namespace by its name.
    ///
    /// # Errors
    /// [`Error::Usage`] with the names that there are.
    pub(super) fn namespace(&self, name: &str) -> Result<&DurableNamespace, Error> {
        self.namespaces.iter().find(|namespace| namespace.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.namespaces.iter().map(|n| n.name.as_str()).collect();
            Error::Usage(format!("no durable namespace {name:?}; there are: {}", known.join(", ")))
        })
    }
}

/// An edge that knows of no other region is its own mesh.
fn regions(config: Config) -> Vec<String> {
    if config.mesh.regions.is_empty() { vec![config.edge.region] } else { config.mesh.regions }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<StreamsFile, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("edge.toml");
        std::fs::write(&path, text).unwrap();
        StreamsFile::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn durable_namespaces_are_read_and_others_left_out() {
        let file = read(
            r#"
            [nats]
            servers = ["nats://app:app@127.0.0.1:7400", "nats://other:1"]
            [mesh]
            regions = ["eu", "us"]
            [[namespaces]]
            name = "demo"
            pattern = "demo.>"
            [[namespaces]]
            name = "orders"
            pattern = "orders.>"
            class = "durable"
            stream = { home = "eu", max_age_s = 60 }
            "#,
        )
        .unwrap();
        assert_eq!(file.server.port(), 7400);
        assert_eq!(file.regions, ["eu", "us"]);
        let [orders] = &file.namespaces[..] else { panic!("{file:?}") };
        assert_eq!((orders.stream.as_str(), orders.epoch, orders.max_age_s), ("ORDERS", 1, 60));
    }

    #[test]
    fn without_other_regions_the_edges_own_is_the_mesh() {
        assert_eq!(read("[edge]\nregion = \"eu\"").unwrap().regions, ["eu"]);
    }

    #[test]
    fn every_namespace_that_cannot_have_streams_is_named() {
        let mistakes = read(
            r#"
            [mesh]
            regions = ["eu"]
            [[namespaces]]
            name = "a"
            pattern = "a.>"
            class = "durable"
            stream = { home = "mars" }
            [[namespaces]]
            name = "b"
            pattern = "b.>"
            class = "durable"
            stream = { home = "eu", replicas = 9 }
            "#,
        )
        .unwrap_err();
        assert!(mistakes.contains("namespace a: ") && mistakes.contains("mars"), "{mistakes}");
        assert!(mistakes.contains("namespace b: 9 replicas"), "{mistakes}");
    }
}
