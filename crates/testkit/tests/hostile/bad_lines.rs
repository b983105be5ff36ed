//! What `bad_commands` sends: lines that are no commands, and names that are no subjects.

/// What a frame of a connected client must get.
pub(crate) enum Answer {
    /// An error with this id and code; the connection goes on.
    Error(Option<u32>, u16),
    /// A close with this code.
    Close(u16),
}

/// Lines that are not one JSON object.
const NO_OBJECTS: &[&str] = &[
    "hello",
    "[]",
    "1",
    "null",
    "true",
    "\"{}\"",
    "{",
    "}",
    "{\"id\":1",
    "{} {}",
    "{},{}",
    "[{}]",
    "{\"id\":01,\"publish\":{}}",
    "{'id':1}",
    "\u{feff}{}",
    "{}\u{0}",
    "NaN",
];

/// Objects that are not a command that this edge carries out: their id and error.
const NO_COMMANDS: &[(&str, Option<u32>, u16)] = &[
    (r#"{"id":5,"sing":{}}"#, Some(5), 104),
    (r#"{"id":5,"Publish":{"s":"demo.x"}}"#, Some(5), 104),
    (r#"{"sing":{}}"#, None, 104),
    (r#"{"id":5,"":{}}"#, Some(5), 104),
    (r#"{"id":5,"history":{"f":"demo.x"}}"#, Some(5), 108),
    (r#"{"id":5,"refresh":1}"#, Some(5), 107),
    (r#"{"id":5}"#, Some(5), 107),
    (r#"{"id":5,"connect":{}}"#, Some(5), 107),
    (r#"{"id":5,"publish":{"s":"demo.x"},"request":{"s":"demo.x"}}"#, Some(5), 107),
    (r#"{"id":5,"publish":[]}"#, Some(5), 107),
    (r#"{"id":5,"publish":["demo.x"]}"#, Some(5), 107),
    (r#"{"id":5,"publish":null}"#, Some(5), 107),
    (r#"{"id":5,"publish":"demo.x"}"#, Some(5), 107),
    (r#"{"id":5,"publish":{}}"#, Some(5), 107),
    (r#"{"id":5,"publish":{"s":null}}"#, Some(5), 107),
    (r#"{"id":5,"publish":{"s":["demo.x"]}}"#, Some(5), 107),
    (r#"{"id":5,"publish":{"s":"demo.x","d":1,"t":"1"}}"#, Some(5), 107),
    (r#"{"id":5,"publish":{"s":"demo.x","t":1}}"#, Some(5), 107),
    (r#"{"id":5,"publish":{"s":"demo.x","b":"%%%"}}"#, Some(5), 107),
    (r#"{"id":5,"publish":{"s":"demo.x","b":"YQ"}}"#, Some(5), 107),
    (r#"{"id":5,"publish":{"s":"demo.x","mid":""}}"#, Some(5), 107),
    (r#"{"id":5,"publish":{"s":"demo.x","tp":"00-0-0-01"}}"#, Some(5), 107),
    (r#"{"id":5,"publish":{"s":"demo.x","h":{"x-kind":1}}}"#, Some(5), 107),
    (r#"{"id":5,"publish":{"s":"demo.x","s":"demo.y"}}"#, Some(5), 107),
    (r#"{"id":5,"publish":{"s":"demo.x","ack":"stream"}}"#, Some(5), 108),
    (r#"{"id":5,"subscribe":{"f":"demo.x","from":0}}"#, Some(5), 108),
    (r#"{"id":5,"subscribe":{"f":"demo.x","recover":{"e":1}}}"#, Some(5), 107),
    (r#"{"id":5,"subscribe":{"f":"demo.x","hdr":"x-kind"}}"#, Some(5), 107),
    (r#"{"id":5,"unsubscribe":{"i":-1}}"#, Some(5), 107),
    (r#"{"id":5,"unsubscribe":{"i":4294967295}}"#, Some(5), 107),
    (r#"{"id":5,"unsubscribe":{"i":0}}"#, Some(5), 107),
    (r#"{"id":5,"unsubscribe":{"i":1}}"#, Some(5), 107),
    (r#"{"subscribe":{"f":"demo.x"}}"#, None, 107),
    (r#"{"unsubscribe":{"i":1}}"#, None, 107),
    (r#"{"request":{"s":"demo.x"}}"#, None, 107),
];

/// What is not an id.
const NO_IDS: &[&str] = &[
    "0",
    "-1",
    "1.0",
    "1e0",
    "0.5",
    "\"1\"",
    "null",
    "true",
    "[]",
    "{}",
    "4294967296",
    "18446744073709551616",
    "1e999",
    "-0",
];

/// Names that break a rule for subjects and for filters.
const NO_NAMES: &[&str] = &[
    "",
    ".",
    "demo.",
    ".demo",
    "demo..x",
    "demo.a b",
    " demo.x",
    "demo.x ",
    "demo.\tx",
    "demo.\u{0}",
    "demo.x\u{0}",
    "demo.\r\nPUB demo.evil 0",
    "demo.x\r\n",
    "demo.\u{7f}",
    "demo.\u{85}",
    "demo.\u{a0}",
    "demo.\u{2028}",
    "demo.>.x",
    "demo.>>",
    "demo.a*",
    "demo.**",
    "demo.x>",
    "$SYS.>",
    "$SYS.REQ.SERVER.PING",
    "$JS.>",
    "$JS.API.INFO",
    "$KV.>",
    "$KV.x.y",
    "$O.>",
    "$SRV.>",
    "$SRV.PING",
    "$G.x",
    "_INBOX.>",
    "_INBOX.a.b",
    "_INBOX_eu-1.0.x",
    "_mrd.>",
    "_mrd.hb.eu",
    "_mrd.hb.*",
    "_x",
    ">",
    "*",
    "*.x",
    "*.>",
    "*.hb.*",
    "$",
    "_",
];

/// Good filters, of which the first are good subjects too, in no namespace.
const UNDECLARED: &[&str] =
    &["demo", "other", "orders.x", "demox.y", "Demo.x", "quie.x", "d.*", "o.>"];

/// Everything malformed but names.
pub(crate) fn malformed() -> Vec<(String, Answer)> {
    let mut table = Vec::new();
    let mut no_object = |line: String| table.push((line, Answer::Close(3501)));
    NO_OBJECTS.iter().for_each(|line| no_object((*line).into()));
    let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
    no_object(open.clone());
    no_object(format!("{open}{close}"));
    no_object("{\"a\":".repeat(10_000));
    no_object(format!(r#"{{"id":1,"publish":{{"s":"demo.x","d":{open}}}}}"#));
    // Longer than a close reason, and no character may be cut.
    no_object(format!("\"{}\"", "€".repeat(10_000)));

    let mut refused = |line: String, id, code| table.push((line, Answer::Error(id, code)));
    NO_COMMANDS.iter().for_each(|(line, id, code)| refused((*line).into(), *id, *code));
    for id in NO_IDS {
        refused(format!(r#"{{"id":{id},"publish":{{"s":"demo.x"}}}}"#), None, 107);
    }
    let five = |rest: String| format!(r#"{{"id":5,{rest}}}"#);
    let name = "n".repeat(60 * 1024);
    for (rest, code) in [
        (format!(r#""{name}":{{}}"#), 104),
        (format!(r#""publish":{{"s":"{name}"}}"#), 207),
        (format!(r#""publish":{{"s":"demo.x","ack":"{name}"}}"#), 107),
        (format!(r#""publish":{{"s":"demo.x","h":{{"{name}":"v"}}}}"#), 103),
        (format!(r#""subscribe":{{"f":"demo.x","hdr":["{name}"]}}"#), 103),
        (format!(r#""publish":{open}{close}"#), 107),
        (format!(r#""subscribe":{{"f":"demo.x","from":{open}{close}}}"#), 107),
    ] {
        refused(five(rest), Some(5), code);
    }
    table
}

/// Texts that a client may not name, and the errors that they get as a filter and as a subject.
pub(crate) fn refused_names() -> Vec<(String, u16, u16)> {
    let mut names: Vec<(String, u16, u16)> = Vec::new();
    names.extend(NO_NAMES.iter().map(|name| ((*name).into(), 207, 207)));
    names.push((format!("demo.{}", "x".repeat(251)), 207, 207));
    names.push((format!("demo.{}", "x".repeat(5_000)), 207, 207));
    names.push((format!("demo{}", ".x".repeat(16)), 207, 207));
    for name in UNDECLARED {
        let as_subject = if name.contains(['*', '>']) { 207 } else { 102 };
        names.push(((*name).into(), 102, as_subject));
    }
    names
}
