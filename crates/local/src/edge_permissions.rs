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

    #[test]
    fn an_edge_without_namespaces_has_none_of_their_lines() {
        let text = edge_permissions("eu-1", "eu", &[]);
        assert!(!text.contains("STREAM.INFO") && !text.contains("_mrd.reg"), "{text}");
        assert!(text.contains("_mrd.hb.eu"), "{text}");
    }
}
