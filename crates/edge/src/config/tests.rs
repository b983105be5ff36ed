//! The configuration's claims: layers, unknown keys, and every mistake at once.

use super::*;
use meridian_core::SlowClient;
use serde_json::json;

#[test]
fn an_empty_configuration_is_the_default_and_shows_itself() {
    let config = load::from_tree(json!({})).unwrap();
    assert_eq!(config, Config::default());
    let shown: toml::Value = toml::from_str(&config.to_toml()).unwrap();
    assert_eq!(shown["limits"]["filters_max"].as_integer(), Some(128));
}

#[test]
fn every_mistake_is_reported_at_once() {
    let errors = load::from_tree(json!({
        "edge": {"id": "has space", "shards": "many", "colour": "red"},
        "listen": {"public": "nowhere", "admin": "127.0.0.1:1"},
        "nats": {"servers": ["http://x", "nats://ok:4222"]},
        "limits": {"filters_max": 0, "send_buffer_bytes": 1},
        "namespaces": [
            {"name": "a", "pattern": "a.>"},
            {"name": "b", "pattern": "a.b"},
            {"name": "c", "pattern": ">"},
            {"pattern": "d.>"},
        ],
        "sometimes": true,
    }))
    .unwrap_err()
    .0;
    for part in [
        "edge.id:",
        "edge.shards:",
        "edge.colour:",
        "listen.public:",
        "nats.servers[0]:",
        "limits.filters_max:",
        "limits.send_buffer_bytes:",
        "namespaces[2].pattern:",
        "missing field `name`",
        "sometimes:",
        "namespaces a and b overlap",
    ] {
        assert!(errors.iter().any(|mistake| mistake.contains(part)), "{part} in {errors:#?}");
    }
    assert_eq!(errors.len(), 11, "{errors:#?}");
}

#[test]
fn each_namespace_says_what_happens_to_slow_clients() {
    let of = |slow_client: serde_json::Value| {
        let mut section = json!({"name": "a", "pattern": "a.>"});
        if !slow_client.is_null() {
            section["slow_client"] = slow_client;
        }
        let config = load::from_tree(json!({"namespaces": [section]}))?;
        let policy = config.policy();
        Ok::<_, ConfigErrors>(policy.namespaces.iter().next().unwrap().slow_client)
    };
    assert_eq!(of(json!(null)).unwrap(), SlowClient::Disconnect);
    assert_eq!(of(json!("disconnect")).unwrap(), SlowClient::Disconnect);
    assert_eq!(of(json!("drop_oldest")).unwrap(), SlowClient::DropOldest);
    assert_eq!(of(json!("conflate")).unwrap(), SlowClient::Conflate);
    let errors = of(json!("block")).unwrap_err().0;
    assert!(errors[0].contains("slow_client"), "{errors:?}");
}

#[test]
fn anonymous_clients_beyond_loopback_must_be_asked_for() {
    let open = |allow: bool| {
        load::from_tree(json!({
            "listen": {"public": "0.0.0.0:7410"},
            "auth": {"mode": "dev", "allow_anonymous_beyond_loopback": allow},
        }))
    };
    let errors = open(false).unwrap_err().0;
    assert!(errors[0].contains("auth.mode: dev on 0.0.0.0:7410"), "{errors:?}");
    assert!(open(true).is_ok());
}

#[test]
fn a_name_of_digits_may_come_from_the_environment() {
    let config = load::from_tree(json!({"edge": {"id": 77, "region": "eu"}})).unwrap();
    assert_eq!(config.edge.id, "77");
    assert!(load::from_tree(json!({"edge": {"id": true}})).is_err());
}

#[test]
fn a_durable_namespace_needs_a_stream_whose_home_is_a_region() {
    let config = |namespace: serde_json::Value| {
        load::from_tree(json!({"mesh": {"regions": ["eu", "us"]}, "namespaces": [namespace]}))
    };
    let durable = |more: serde_json::Value| {
        let mut namespace = json!({"name": "a", "pattern": "a.>", "class": "durable"});
        namespace.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config(namespace).map_err(|errors| errors.0.join("\n"))
    };
    assert!(durable(json!({"stream": {"home": "eu"}})).is_ok());
    for (more, what) in [
        (json!({}), "a durable namespace needs its home"),
        (json!({"stream": {"home": "mars"}}), "mars"),
        (json!({"stream": {"home": "eu", "replicas": 9}}), "9 replicas"),
        (json!({"stream": {"home": "eu"}, "pattern": "a.*.>"}), "a durable pattern is"),
        (
            json!({"stream": {"home": "eu"}, "class": "ephemeral"}),
            "an ephemeral namespace has none",
        ),
    ] {
        let mistakes = durable(more).unwrap_err();
        assert!(mistakes.contains(what), "{what} in {mistakes}");
    }
}

#[test]
fn tls_needs_both_files_and_origins_are_origins() {
    let listen = |listen: serde_json::Value| load::from_tree(json!({"listen": listen}));
    assert!(listen(json!({"tls_certificate": "a.pem", "tls_key": "b.pem"})).is_ok());
    let origins = ["https://a.example", "http://a:8080", "https://[::1]:1", "*"];
    assert!(listen(json!({"origins": origins})).is_ok());
    for wrong in [
        json!({"tls_certificate": "a.pem"}),
        json!({"tls_key": "b.pem"}),
        json!({"origins": ["a.example"]}),
        json!({"origins": ["https://"]}),
        json!({"origins": ["https://a.example/"]}),
        json!({"origins": ["https://A.example"]}),
        json!({"origins": ["wss://a.example"]}),
    ] {
        assert!(listen(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn passwords_are_not_shown() {
    let mut config = Config::default();
    config.nats.servers = vec!["nats://user:se@cret@host:4222".into()];
    let nats = "nats://app:secret@host:4222".into();
    config.demo.regions = vec![DemoRegion { name: "eu".into(), url: "ws://host".into(), nats }];
    config.demo.control_token = "secret".into();
    assert!(config.to_toml().contains("nats://user:***@host:4222"), "{}", config.to_toml());
    assert!(!config.to_toml().contains("cret"));
}

#[test]
fn tls_to_nats_needs_an_authority_and_files_that_are_there() {
    let mistake = |nats: serde_json::Value| {
        let mut errors = load::from_tree(json!({ "nats": nats })).unwrap_err().0;
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.remove(0)
    };
    let text = mistake(json!({"servers": ["tls://nats.eu:4222"]}));
    assert!(text.contains("nats.servers[0]: tls:// needs nats.tls_ca"), "{text}");
    let text = mistake(json!({"tls_ca": "/no/such.crt"}));
    assert!(text.contains("nats.tls_ca: /no/such.crt"), "{text}");
    let text = mistake(json!({"tls_certificate": "a.crt", "tls_key": "a.key"}));
    assert!(text.contains("nats.tls_ca: missing"), "{text}");
    let text = mistake(json!({"tls_certificate": "a.crt"}));
    assert!(text.contains("nats.tls_key"), "{text}");
}
