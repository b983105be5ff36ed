//! Who an answer on the shard's inbox is for. All tokens are made and told apart here, by a letter
//! of their own before what the asker calls its question by: no kind can take another's answers.
//!
//! Called by whoever asks by `upstream`, and by `requests`, where answers come in.

/// Whose question an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A client's request, or its publish that a stream acknowledges.
    Client,
    /// A read of the region's copy.
    Store,
    /// Commands handed to another shard.
    Forward,
}

impl Asker {
    const ALL: [Self; 3] = [Self::Client, Self::Store, Self::Forward];

    fn letter(self) -> char {
        match self {
            Self::Client => 'c',
            Self::Store => 'g',
            Self::Forward => 'w',
        }
    }

    /// The end of the reply subject of a question: one subject token.
    pub(super) fn token(self, question: &str) -> String {
        format!("{}{question}", self.letter())
    }

    /// Whose token this is, and what the asker calls its question by. `None` for none of ours.
    pub(super) fn of(token: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|asker| Some((asker, token.strip_prefix(asker.letter())?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asker_gets_its_own_answers_whatever_it_calls_its_questions_by() {
        for asker in Asker::ALL {
            for question in ["0-1", "f-2", "c3", "g4-5", "w6", ""] {
                assert_eq!(Asker::of(&asker.token(question)), Some((asker, question)));
            }
        }
        assert_eq!(Asker::of(""), None);
        assert_eq!(Asker::of("0-1"), None);
    }
}
