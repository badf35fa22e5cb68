//! Closed sets of label values.

/// A value of a closed set, such as the reason of a refusal. `labels!` implements it.
pub trait Label: Copy + 'static {
    /// All values, in the order of [`Label::index`].
    const ALL: &'static [Self];

    /// The names of all values, in the same order.
    const NAMES: &'static [&'static str];

    /// Returns the position of the value's name in [`Label::NAMES`].
    fn index(self) -> usize;

    /// Returns the name that metrics and logs give the value.
    fn name(self) -> &'static str;
}

/// Defines an enum whose values have names. The values, their names and their positions are one
/// list, so that no name can be missing or stand for another value.
macro_rules! labels {
    (
        $(#[$about:meta])*
        $visibility:vis enum $set:ident {
            $( $(#[$what:meta])* $value:ident = $name:literal, )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $set {
            $( $(#[$what])* $value, )+
        }

        impl $crate::telemetry::Label for $set {
            const ALL: &'static [Self] = &[$(Self::$value),+];
            const NAMES: &'static [&'static str] = &[$($name),+];

            fn index(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                match self {
                    $( Self::$value => $name, )+
                }
            }
        }
    };
}

pub(crate) use labels;

#[cfg(test)]
mod tests {
    use super::*;

    labels! {
        /// Two values.
        enum Color {
            Red = "red",
            Green = "green",
        }
    }

    #[test]
    fn each_value_has_its_name_and_position() {
        for (position, value) in Color::ALL.iter().enumerate() {
            assert_eq!(value.index(), position);
            assert_eq!(Color::NAMES[position], value.name());
        }
        assert_eq!(Color::NAMES, ["red", "green"]);
    }
}
