//! What `mesh-config` renders for machines (addresses from variables, all interfaces): equal to the
//! golden files, and good in the eyes of nats-server and of the edge.
//!
//! `GOLDEN=write make test-terraform` writes the golden files anew.

use crate::mesh::{terraform, terraform_local, text_of};
use meridian_local::find_nats_server;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// One of each kind; the others differ in names and addresses only.
const GOLDEN: [&str; 7] = [
    "nats/eu-n1.conf",
    "nats/us-n2.conf",
    "edges/eu-1.toml",
    "edges/us-1.toml",
    "prometheus/targets.json",
    "systemd/nats-server.service",
    "systemd/meridian-edge.service",
];

fn module() -> PathBuf {
    terraform_local().join("../modules/mesh-config")
}

/// The module's outputs for `tests/three-regions.tfvars.json`.
fn rendered(state: &Path) -> Value {
    let succeed = |arguments: &[&str]| {
        let output = terraform(&module(), state, arguments);
        assert!(output.status.success(), "terraform {arguments:?}: {}", text_of(&output));
        output.stdout
    };
    let at = format!("-state={}", state.join("state.json").display());
    succeed(&["init", "-input=false"]);
    let variables = "-var-file=tests/three-regions.tfvars.json";
    succeed(&["apply", "-auto-approve", "-input=false", &at, variables]);
    serde_json::from_slice(&succeed(&["output", "-json", &at])).unwrap()
}

fn files_of(outputs: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(outputs["files"]["value"].clone()).unwrap()
}

/// Certificates for all of them below `directory`, as `pki_dir`s name it.
fn issue_certificates(outputs: &Value, mesh: &Path) {
    for (file, wanted) in outputs["certificates"]["value"].as_object().unwrap() {
        let names: Vec<&str> =
            wanted["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let text = |key: &str| wanted[key].as_str().unwrap();
        let issued = Command::new("./pki.sh")
            .arg("issue")
            .current_dir(terraform_local())
            .env("MESH", mesh)
            .env("FILE", file)
            .env("AUTHORITY", text("ca"))
            .env("COMMON_NAME", text("common_name"))
            .env("USAGE", text("usage"))
            .env("NAMES", names.join(" "))
            .output()
            .unwrap();
        assert!(issued.status.success(), "{file}: {}", text_of(&issued));
    }
}

#[test]
fn rendered_files_equal_the_golden_ones() {
    let state = TempDir::new().unwrap();
    let files = files_of(&rendered(state.path()));
    for name in GOLDEN {
        let path = module().join("tests/golden").join(name);
        if std::env::var("GOLDEN").is_ok_and(|what| what == "write") {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &files[name]).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        let shown = path.display();
        assert!(golden == files[name], "{shown} differs from:\n{}", files[name]);
    }
}

#[test]
fn nats_server_and_the_edge_accept_every_rendered_file() {
    let state = TempDir::new().unwrap();
    let outputs = rendered(state.path());
    issue_certificates(&outputs, state.path());
    let pki = state.path().join("pki");
    // A key set and a public certificate, which come from elsewhere.
    fs::write(state.path().join("jwks.json"), KEY_SET).unwrap();
    for (from, to) in [("crt", "public.crt"), ("key", "public.key")] {
        fs::copy(pki.join(format!("eu-n1/server.{from}")), pki.join("edges/edge-eu").join(to))
            .unwrap();
    }
    let (mut servers, mut edges) = (0, 0);
    for (name, text) in files_of(&outputs) {
        let path = state.path().join(name.replace('/', "-"));
        let (kind, file) = name.split_once('/').unwrap();
        let of = Path::new(file).file_stem().unwrap().to_str().unwrap();
        let checked = match kind {
            "nats" => {
                servers += 1;
                let text = text.replace("/etc/nats/pki", pki.join(of).to_str().unwrap());
                fs::write(&path, text).unwrap();
                Command::new(find_nats_server().unwrap()).arg("-t").arg("-c").arg(&path).output()
            }
            "edges" => {
                edges += 1;
                let identity = outputs["edges"]["value"][of]["identity"].as_str().unwrap();
                let own = pki.join("edges").join(identity);
                let text = text
                    .replace("/etc/meridian/pki", own.to_str().unwrap())
                    .replace("/etc/meridian", state.path().to_str().unwrap());
                fs::write(&path, text).unwrap();
                let mut check = Command::new(env!("CARGO_BIN_EXE_meridian"));
                check.args(["config", "check", "--config"]).arg(&path).output()
            }
            _ => continue,
        };
        let checked = checked.unwrap();
        assert!(checked.status.success(), "{name}: {}", text_of(&checked));
    }
    assert_eq!((servers, edges), (9, 4), "every file was checked");
}

/// Public keys of nobody, from RFC 8037, appendix A.2.
const KEY_SET: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","alg":"EdDSA",
"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
