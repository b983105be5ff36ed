//! What a plan comes to, without a server.

use super::super::copy_config::{EPOCH_FIELD, get};
use super::super::namespace::tests::{orders, regions};
use super::*;
use serde_json::{Value, json};

const NOW_S: u64 = 1_764_000_000;

/// A stream as the server would list it, `age` seconds before a fixed time.
fn stream(config: Value, age: u64) -> ExistingStream {
    let created = format!("2026-11-24T14:18:{:02}.5Z", 59 - age);
    let state = json!({"messages": 7, "first_seq": 1, "last_seq": 7});
    serde_json::from_value(json!({"config": config, "created": created, "state": state})).unwrap()
}

/// What applying a plan leaves behind.
fn applied(plan: &Plan) -> Vec<ExistingStream> {
    let configs = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Create { config } | Action::Update { config, .. } => Some(config.over(None)),
        _ => None,
    });
    configs.enumerate().map(|(index, config)| stream(config, 50 - index as u64)).collect()
}

fn plan_for(
    namespace: &DurableNamespace,
    existing: &[ExistingStream],
    names: &[&str],
) -> Result<Plan, Error> {
    plan(std::slice::from_ref(namespace), existing, &regions(names), NOW_S)
}

/// The three copies of the namespace, as an earlier plan has made them.
fn mesh() -> Vec<ExistingStream> {
    applied(&plan_for(&orders(), &[], &["eu", "us", "ap"]).unwrap())
}

/// Each step as its sign and stream, those that do nothing left out.
fn signs(plan: &Plan) -> Vec<String> {
    let text = plan.to_string();
    let steps = text.lines().filter(|line| line.starts_with(['+', '~', '-', '!']));
    steps.map(|line| line.split(" in ").next().unwrap().to_owned()).collect()
}

#[test]
fn nothing_there_means_create_home_and_then_a_mirror_in_every_other_region() {
    let plan = plan_for(&orders(), &[], &["us", "eu", "ap"]).unwrap();
    assert_eq!(signs(&plan), ["+ ORDERS_1", "+ ORDERS_1_us", "+ ORDERS_1_ap"]);
    assert!(plan.destroyed().is_empty() && !plan.is_empty());
    for step in &plan.steps {
        let Action::Create { config } = &step.action else { panic!("{step}") };
        assert_eq!(get(&config.over(None), EPOCH_FIELD), "ORDERS_1@1764000000");
    }
    let text = plan.to_string();
    assert!(text.contains("    max_age: 86400 s\n"), "{text}");
    assert!(text.contains("    republish/dest: _mrd.reg.us.orders.>\n"), "{text}");
    assert!(text.ends_with("3 to create, 0 to change, 0 to delete\n"), "{text}");
}

#[test]
fn what_was_applied_needs_no_changes_and_keeps_its_epoch() {
    let plan = plan(&[orders()], &mesh(), &regions(&["eu", "us", "ap"]), NOW_S + 99).unwrap();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(plan.to_string(), "no changes\n");
    assert_eq!(plan.steps.len(), 3);
}

#[test]
fn a_changed_limit_is_updated_in_place_in_every_copy() {
    let mut namespace = orders();
    namespace.max_age_s = 3_600;
    let plan = plan_for(&namespace, &mesh(), &["eu", "us", "ap"]).unwrap();
    assert_eq!(signs(&plan), ["~ ORDERS_1", "~ ORDERS_1_us", "~ ORDERS_1_ap"]);
    assert!(plan.destroyed().is_empty());
    let text = plan.to_string();
    assert_eq!(text.matches("    max_age: 86400 s -> 3600 s\n").count(), 3, "{text}");
}

#[test]
fn a_new_region_needs_one_mirror_and_nothing_else() {
    let plan = plan_for(&orders(), &mesh(), &["eu", "us", "ap", "sa"]).unwrap();
    assert_eq!(signs(&plan), ["+ ORDERS_1_sa"]);
    assert!(plan.destroyed().is_empty());
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["steps"][3]["action"], "create");
    assert_eq!(json["steps"][3]["config"]["fields"]["mirror/name"], "ORDERS_1");
    assert_eq!(json["steps"][0]["action"], "nothing");
}

#[test]
fn a_region_that_left_loses_its_mirror_once_that_is_confirmed() {
    let plan = plan_for(&orders(), &mesh(), &["eu", "us"]).unwrap();
    assert_eq!(signs(&plan), ["- ORDERS_1_ap"]);
    assert_eq!(plan.destroyed(), ["ORDERS_1_ap"]);
    let text = plan.to_string();
    assert!(text.contains("region ap is not in the mesh; it holds 7 messages"), "{text}");
}

#[test]
fn a_new_epoch_deletes_the_old_streams_before_it_creates() {
    let mut namespace = orders();
    namespace.epoch = 2;
    let plan = plan_for(&namespace, &mesh(), &["eu", "us"]).unwrap();
    let expected = ["- ORDERS_1", "- ORDERS_1_us", "- ORDERS_1_ap", "+ ORDERS_2", "+ ORDERS_2_us"];
    assert_eq!(signs(&plan), expected);
}

#[test]
fn another_home_moves_the_stream_and_swaps_the_mirrors() {
    let mut namespace = orders();
    namespace.home = "us".into();
    let plan = plan_for(&namespace, &mesh(), &["eu", "us", "ap"]).unwrap();
    assert_eq!(signs(&plan), ["- ORDERS_1_us", "~ ORDERS_1", "+ ORDERS_1_eu"]);
    assert!(plan.to_string().contains("    placement/cluster: eu -> us\n"), "{plan}");
}

#[test]
fn what_cannot_be_changed_is_made_anew_with_a_new_epoch() {
    let mut home = mesh();
    home[0].config["storage"] = json!("memory");
    let plan = plan_for(&orders(), &home, &["eu", "us", "ap"]).unwrap();
    assert_eq!(signs(&plan), ["! ORDERS_1", "! ORDERS_1_us", "! ORDERS_1_ap"]);
    assert_eq!(plan.destroyed().len(), 3);
    for step in &plan.steps {
        let Action::Recreate { config, .. } = &step.action else { panic!("{step}") };
        assert_eq!(get(&config.over(None), EPOCH_FIELD), "ORDERS_1@1764000001");
    }
    let mut mirror = mesh();
    mirror[1].config["mirror"]["name"] = json!("OTHER");
    let plan = plan_for(&orders(), &mirror, &["eu", "us", "ap"]).unwrap();
    assert_eq!(signs(&plan), ["! ORDERS_1_us"]);
    assert!(plan.to_string().contains("cannot be changed in place: mirror/name"), "{plan}");
}

#[test]
fn mirrors_of_a_home_stream_that_is_gone_are_not_taken_over_silently() {
    let mut without_home = mesh();
    without_home.remove(0);
    let plan = plan_for(&orders(), &without_home, &["eu", "us", "ap"]).unwrap();
    assert_eq!(signs(&plan), ["+ ORDERS_1", "! ORDERS_1_us", "! ORDERS_1_ap"]);
    assert!(plan.to_string().contains("promote"), "{plan}");
    // Somebody has created the home stream again: its sequences are not those of the mirrors.
    let mut younger_home = mesh();
    younger_home[0] = stream(younger_home[0].config.clone(), 1);
    let plan = plan_for(&orders(), &younger_home, &["eu", "us", "ap"]).unwrap();
    assert_eq!(signs(&plan), ["! ORDERS_1_us", "! ORDERS_1_ap"]);
}

#[test]
fn a_mirror_whose_epoch_was_not_changed_follows_home() {
    let mut existing = mesh();
    existing[0].config["metadata"]["meridian.epoch"] = json!("ORDERS_1@1764000500");
    let plan = plan_for(&orders(), &existing, &["eu", "us", "ap"]).unwrap();
    assert_eq!(signs(&plan), ["~ ORDERS_1_us", "~ ORDERS_1_ap"]);
}

#[test]
fn streams_of_others_are_in_the_way_and_stay() {
    let with = |config: Value| {
        let mut existing = mesh();
        existing.push(stream(config, 0));
        plan_for(&orders(), &existing, &["eu", "us", "ap", "sa"])
    };
    let error = with(json!({"name": "ORDERS_1_sa"})).unwrap_err();
    assert!(matches!(error, Error::NotOurs { stream, .. } if stream == "ORDERS_1_sa"));
    let theirs = json!({"meridian.namespace": "invoices"});
    let error = with(json!({"name": "ORDERS_1_sa", "metadata": theirs})).unwrap_err();
    assert!(matches!(error, Error::NotOurs { .. }));
    let error = with(json!({"name": "ALL", "subjects": ["*.eu.>"]})).unwrap_err();
    assert!(matches!(error, Error::Overlap { stream, .. } if stream == "ALL"));
    let plan = with(json!({"name": "OTHER", "subjects": ["other.>"]})).unwrap();
    assert_eq!(signs(&plan), ["+ ORDERS_1_sa"]);
    let plan = with(json!({"name": "INVOICES_1", "metadata": theirs})).unwrap();
    assert_eq!(plan.unknown, ["INVOICES_1"]);
    assert!(plan.destroyed().is_empty());
}

#[test]
fn namespaces_that_contradict_each_other_are_refused() {
    let other = |change: fn(&mut DurableNamespace)| {
        let mut other = orders();
        (other.name, other.pattern, other.stream) = ("b".into(), "b.>".into(), "B".into());
        change(&mut other);
        plan(&[orders(), other], &[], &regions(&["eu", "us"]), NOW_S)
    };
    assert_eq!(other(|_| {}).unwrap().steps.len(), 4);
    let error = other(|n| n.stream = "ORDERS".into()).unwrap_err().to_string();
    assert!(error.contains("another namespace's"), "{error}");
    let error = other(|n| n.pattern = "orders.eu.>".into()).unwrap_err().to_string();
    assert!(error.contains("overlaps that of namespace orders"), "{error}");
}
