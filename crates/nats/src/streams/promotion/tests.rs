//! What a promotion comes to, without a server.

use super::super::namespace::tests::{orders, regions};
use super::*;

const NOW_S: u64 = 1_764_000_000;

const EPOCH: &str = "ORDERS_1@1763000000";

fn stream(namespace: &DurableNamespace, region: &str, last_seq: u64) -> ExistingStream {
    let config = CopyConfig::of(namespace, region, EPOCH).over(None);
    let state = json!({"messages": last_seq, "first_seq": 1, "last_seq": last_seq});
    let created = "2026-11-24T14:18:08Z";
    serde_json::from_value(json!({"config": config, "created": created, "state": state})).unwrap()
}

/// Three regions; home in eu answers.
fn whole() -> Survey {
    let existing = [("eu", 12), ("us", 10), ("ap", 11)].map(|(r, last)| stream(&orders(), r, last));
    let (silent, capturing) = (Vec::new(), vec!["ORDERS_1".to_owned()]);
    Survey { existing: existing.into(), silent, capturing }
}

/// Three regions; home in eu is lost.
fn without_home() -> Survey {
    let mut survey = whole();
    survey.existing.remove(0);
    survey.silent = vec!["ORDERS_1".to_owned()];
    survey
}

fn promote(survey: &Survey, region: &str) -> Result<Promotion, Error> {
    promotion(&orders(), region, survey, &regions(&["eu", "us", "ap"]), NOW_S)
}

/// What is there after a promotion has been performed.
fn performed(survey: &Survey, promotion: &Promotion) -> Survey {
    let mut after = survey.clone();
    let namespace = after_of(promotion);
    for existing in &mut after.existing {
        let name = existing.name().to_owned();
        if name == promotion.stream {
            let config = CopyConfig::of(&namespace, &promotion.region, &promotion.epoch);
            existing.config = taken_over(&existing.config, &config);
        }
        if let Some(retirement) =
            promotion.retirement.as_ref().filter(|retirement| retirement.stream == name)
        {
            existing.config.clone_from(&retirement.config);
        }
        let step = promotion.rest.steps.iter().find(|step| step.stream == name);
        if let Some(Action::Recreate { config, .. }) = step.map(|step| &step.action) {
            existing.config = config.over(None);
        }
    }
    after.capturing = vec![promotion.stream.clone()];
    after
}

fn after_of(promotion: &Promotion) -> DurableNamespace {
    after(&orders(), &promotion.region, &promotion.stream)
}

#[test]
fn a_mirror_of_a_lost_home_takes_over_with_a_new_epoch_and_home_is_retired() {
    let promotion = promote(&without_home(), "us").unwrap();
    assert_eq!(promotion.old_home, OldHome::Lost { stream: "ORDERS_1".into() });
    assert_eq!(promotion.epoch, "ORDERS_1_us@1764000000");
    let retirement = promotion.retirement.clone().unwrap();
    assert_eq!(retirement.config["subjects"], json!(["_mrd.retired.ORDERS_1"]));
    assert_eq!(retirement.config["placement"]["cluster"], "eu", "it must stay where it is");
    assert!(retirement.config.get("republish").is_none());
    assert_eq!(promotion.ahead, [("ORDERS_1_ap".to_owned(), 1)]);
    assert_eq!(promotion.left, ["ORDERS_1_eu"]);
    assert_eq!(promotion.rest.destroyed(), ["ORDERS_1_ap"]);
    let text = promotion.to_string();
    for part in [
        "promote ORDERS_1_us in us (namespace orders)\n    ORDERS_1 does not answer: ",
        "    epoch: ORDERS_1@1763000000 -> ORDERS_1_us@1764000000;",
        "  ! ORDERS_1_ap holds 1 messages more",
        "~ ORDERS_1\n    subjects: orders.> -> _mrd.retired.ORDERS_1\n",
        "~ ORDERS_1_us in us\n    subjects: nothing -> orders.>\n    mirror/name: ORDERS_1 -> noth",
        "! ORDERS_1_ap in ap (namespace orders)\n",
        "    mirror/name: ORDERS_1_us\n",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let home = taken_over(&without_home().existing[0].config, &promotion.takeover.unwrap().config);
    assert!(home.get("mirror").is_none(), "an empty mirror would be one of nothing");
    assert_eq!(home["republish"]["dest"], "_mrd.reg.us.orders.>");
}

#[test]
fn a_home_that_answers_hands_over_without_a_new_epoch() {
    let promotion = promote(&whole(), "us").unwrap();
    assert_eq!(promotion.old_home, OldHome::Answers { stream: "ORDERS_1".into() });
    assert_eq!(promotion.epoch, EPOCH);
    let steps: Vec<&str> = promotion.rest.steps.iter().map(|s| s.stream.as_str()).collect();
    assert_eq!(steps, ["ORDERS_1_us", "ORDERS_1_eu", "ORDERS_1_ap"]);
    assert_eq!(promotion.left, ["ORDERS_1"], "its messages are not deleted by the way");
    assert!(promotion.to_string().contains("nothing is lost"), "{promotion}");
}

#[test]
fn a_promoted_home_that_hands_over_becomes_a_mirror_under_its_name() {
    let survey = whole();
    let there = promote(&survey, "us").unwrap();
    let mut survey = performed(&survey, &there);
    let eu = CopyConfig::of(&after_of(&there), "eu", EPOCH).over(None);
    survey.existing.push(stream(&orders(), "eu", 12));
    survey.existing.last_mut().unwrap().config = eu;
    let all = regions(&["eu", "us", "ap"]);
    let back = promotion(&after_of(&there), "eu", &survey, &all, NOW_S).unwrap();
    assert_eq!((back.stream.as_str(), back.epoch.as_str()), ("ORDERS_1_eu", EPOCH));
    assert_eq!(back.rest.destroyed(), ["ORDERS_1_us", "ORDERS_1_ap"]);
    assert!(back.to_string().contains("handed everything over"), "{back}");
    assert_eq!(back.left, ["ORDERS_1"]);
}

#[test]
fn a_promotion_that_was_performed_is_empty_whichever_home_the_file_names() {
    let survey = without_home();
    let first = promote(&survey, "us").unwrap();
    let after = performed(&survey, &first);
    for namespace in [orders(), after_of(&first)] {
        let again =
            promotion(&namespace, "us", &after, &regions(&["eu", "us", "ap"]), NOW_S + 9).unwrap();
        assert!(again.is_empty(), "{again}");
        assert_eq!((&again.epoch, &again.stream), (&first.epoch, &first.stream));
    }
}

#[test]
fn a_promotion_that_ended_behind_the_fence_goes_on() {
    let mut survey = without_home();
    survey.capturing.clear();
    let lost = promote(&survey, "us").unwrap();
    assert!(lost.retirement.is_none() && lost.takeover.is_some() && !lost.is_empty());
    assert_ne!(lost.epoch, EPOCH);
    let mut survey = whole();
    survey.capturing.clear();
    let orderly = promote(&survey, "us").unwrap();
    assert!(orderly.retirement.is_none() && orderly.takeover.is_some());
    assert_eq!(orderly.epoch, EPOCH, "home still holds all that the mirror lacks");
}

#[test]
fn the_old_home_is_found_also_when_the_file_names_the_new_one() {
    let after = after(&orders(), "us", "ORDERS_1_us");
    let survey = without_home();
    let promotion = promotion(&after, "us", &survey, &regions(&["eu", "us", "ap"]), 1).unwrap();
    assert_eq!(promotion.retirement.unwrap().config["placement"]["cluster"], "eu");
}

#[test]
fn only_a_mirror_of_the_home_stream_can_be_promoted() {
    let error = promote(&whole(), "mars").unwrap_err().to_string();
    assert!(error.contains("no stream ORDERS_1_mars"), "{error}");
    let mut elsewhere = whole();
    elsewhere.capturing = vec!["ORDERS_1_ap".to_owned()];
    let error = promote(&elsewhere, "us").unwrap_err().to_string();
    assert!(error.contains("ORDERS_1_us copies ORDERS_1, and ORDERS_1_ap stores"), "{error}");
    let home = promote(&whole(), "eu").unwrap();
    assert!(home.is_empty(), "it is home already: {home}");
}

#[test]
fn a_plan_neither_undoes_a_promotion_nor_makes_one() {
    let survey = without_home();
    let promotion = promote(&survey, "us").unwrap();
    let mut after = performed(&survey, &promotion);
    let all = regions(&["eu", "us", "ap"]);
    let plan_for = |namespace: &DurableNamespace, existing: &[ExistingStream]| {
        plan(std::slice::from_ref(namespace), existing, &all, NOW_S)
    };
    let error = plan_for(&orders(), &after.existing).unwrap_err().to_string();
    assert!(error.contains("set home = \"us\" and home_stream = \"ORDERS_1_us\""), "{error}");
    let error = plan_for(&after_of(&promotion), &whole().existing).unwrap_err().to_string();
    assert!(error.contains("`meridian streams promote orders --to us` first"), "{error}");
    // The old home is back, and is retired.
    let mut old = stream(&orders(), "eu", 12);
    old.config.clone_from(&promotion.retirement.as_ref().unwrap().config);
    after.existing.push(old);
    let plan = plan_for(&after_of(&promotion), &after.existing).unwrap();
    let text = plan.to_string();
    assert_eq!(plan.destroyed(), ["ORDERS_1"]);
    assert!(text.contains("it was home before ORDERS_1_us"), "{text}");
    assert!(text.contains("+ ORDERS_1_eu in eu"), "{text}");
}
