//! The NATS permissions of an edge's user: `config/nats/edge-permissions.conf`, filled in. Pure.

/// The one list of what an edge may do.
const TEMPLATE: &str = include_str!("../../../config/nats/edge-permissions.conf");

/// A namespace, as far as NATS permissions are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeSpace {
    /// Its subjects, such as `orders.>`.
    pub pattern: String,
    /// The home stream of a durable namespace, such as `ORDERS_1`.
    pub stream: Option<String>,
    /// Whether clients may publish or send requests there, or the edge itself does.
    pub publish: bool,
}

/// The permissions of one edge as nats-server reads them, comments left out.
#[must_use]
pub fn edge_permissions(edge: &str, region: &str, spaces: &[EdgeSpace]) -> String {
    let durable = || spaces.iter().filter(|space| space.stream.is_some());
    let patterns = |spaces: Vec<&EdgeSpace>| -> Vec<String> {
        spaces.into_iter().map(|space| space.pattern.clone()).collect()
    };
    let homes: Vec<String> = spaces.iter().filter_map(|space| space.stream.clone()).collect();
    // Which of them is this region's copy depends on where home is, and that may change.
    let copies = homes.iter().flat_map(|home| [home.clone(), format!("{home}_{region}")]);
    let values = [
        ("{publish}", patterns(spaces.iter().filter(|space| space.publish).collect())),
        ("{ephemeral}", patterns(spaces.iter().filter(|space| space.stream.is_none()).collect())),
        ("{durable}", patterns(durable().collect())),
        ("{stream}", copies.collect()),
        ("{home}", homes.clone()),
    ];
    let mut text = String::new();
    for line in TEMPLATE.lines().filter(|line| !line.starts_with('#')) {
        let line = line.replace("{edge}", edge).replace("{region}", region);
        match values.iter().find(|(word, _)| line.contains(word)) {
            None => text.extend([line.as_str(), "\n"]),
            Some((word, values)) => {
                for value in values {
                    text.extend([line.replace(word, value).as_str(), "\n"]);
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn spaces() -> Vec<EdgeSpace> {
        let space = |pattern: &str, stream: Option<&str>, publish| EdgeSpace {
            pattern: pattern.into(),
            stream: stream.map(String::from),
            publish,
        };
        vec![space("demo.>", None, true), space("orders.>", Some("ORDERS_1"), false)]
    }

    #[test]
    fn a_line_stands_once_for_each_value_and_no_word_is_left() {
        let text = edge_permissions("us-1", "us", &spaces());
        for line in [
            r#""_mrd.hb.us""#,
            r#""_INBOX_us-1.>""#,
            r#""_mrd.edge.us-1.>""#,
            r#""_mrd.reg.us.orders.>""#,
            r#""$JS.API.DIRECT.GET.ORDERS_1""#,
            r#""$JS.API.DIRECT.GET.ORDERS_1_us""#,
            r#""$JS.API.STREAM.INFO.ORDERS_1""#,
        ] {
            assert!(text.lines().any(|other| other.trim() == line), "{line} in\n{text}");
        }
        assert_eq!(text.matches(r#""demo.>""#).count(), 2, "to publish and to subscribe\n{text}");
        assert!(!text.contains(r#""orders.>""#), "durable messages come from the copy\n{text}");
        let left = ["{publish}", "{ephemeral}", "{durable}", "{stream}", "{home}", "{edge}"];
        assert!(left.iter().all(|word| !text.contains(word)), "{text}");
    }

    /// The subjects in quotes of one of the two parts of a list.
    fn subjects(text: &str, part: &str) -> BTreeSet<String> {
        let (_, text) = text.split_once(part).unwrap();
        let (text, _) = text.split_once(']').unwrap();
        text.split('"').skip(1).step_by(2).map(String::from).collect()
    }

    #[test]
    fn terraform_gives_an_edge_the_same() {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../terraform/modules");
        let read = |file: &str| {
            let text = std::fs::read_to_string(modules.join("mesh-config").join(file)).unwrap();
            text.replace("${region}", "{region}")
        };
        let list: String = TEMPLATE.lines().filter(|line| !line.starts_with('#')).collect();
        let user = read("templates/edge-user.conf.tftpl");
        let responses = "allow_responses: { max: 1, expires: \"1m\" }";
        assert!(list.contains(responses) && user.contains(responses));
        for part in ["publish", "subscribe"] {
            // What else stands there is filled in by users.tf.
            let is_fixed = |subject: &String| !subject.replace("{region}", "").contains('{');
            let fixed: BTreeSet<_> = subjects(&list, part).into_iter().filter(is_fixed).collect();
            assert_eq!(subjects(&user, part), fixed, "{part}");
        }
        let users = read("users.tf");
        for filled in [
            "\"_mrd.edge.${id}.>\"",
            "\"_INBOX_${id}.>\"",
            "\"_mrd.reg.{region}.${n.pattern}\"",
            "\"$JS.API.DIRECT.GET.${s.copies[region]}\"",
            "\"$JS.API.STREAM.INFO.${s.copies[region]}\"",
            "\"$JS.API.STREAM.INFO.${s.home}\"",
        ] {
            assert!(users.contains(filled), "{filled}");
        }
        let all = subjects(&list, "publish").len() + subjects(&list, "subscribe").len();
        assert_eq!(all, 20, "a new line in the list wants a look at users.tf");
    }

    #[test]
    fn an_edge_without_namespaces_has_none_of_their_lines() {
        let text = edge_permissions("eu-1", "eu", &[]);
        assert!(!text.contains("DIRECT.GET") && !text.contains("_mrd.reg"), "{text}");
        assert!(text.contains("_mrd.hb.eu"), "{text}");
    }
}
