//! Where values are in a picture, and which of them have a line.

/// An axis: values of a range, and the places of its ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    values: (f64, f64),
    places: (f64, f64),
    is_logarithmic: bool,
}

impl Axis {
    /// Where equal differences have equal room.
    pub(super) fn linear(values: (f64, f64), places: (f64, f64)) -> Self {
        Self {
            values,
            places,
            is_logarithmic: false,
        }
    }

    /// Where equal ratios have equal room; of values above 0.
    pub(super) fn logarithmic(values: (f64, f64), places: (f64, f64)) -> Self {
        Self {
            values: (values.0.ln(), values.1.ln()),
            places,
            is_logarithmic: true,
        }
    }

    /// The place of a value; of one beyond the range, the end's.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if self.is_logarithmic {
            value.ln()
        } else {
            value
        };
        let (first, last) = self.values;
        let part = ((value - first) / (last - first)).clamp(0.0, 1.0);
        self.places.0 + part * (self.places.1 - self.places.0)
    }

    /// Whether a value is in the range.
    pub(super) fn has(&self, value: f64) -> bool {
        let value = if self.is_logarithmic {
            value.ln()
        } else {
            value
        };
        (self.values.0..=self.values.1).contains(&value)
    }
}

/// Round numbers of milliseconds in a range: each 1, 2 and 5, or only powers of ten where these
/// would be many.
pub(super) fn latency_ticks(least: f64, most: f64) -> Vec<f64> {
    let decades = (most / least).log10();
    let steps: &[f64] = if decades > 3.0 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let exponents = least.log10().floor() as i32..=most.log10().ceil() as i32;
    let all = exponents.flat_map(|exponent| steps.iter().map(move |s| s * 10_f64.powi(exponent)));
    all.filter(|tick| (least..=most).contains(tick)).collect()
}

/// Ratios in a range that have a line: as few as say where one is.
pub(super) fn ratio_ticks(least: f64, most: f64) -> Vec<f64> {
    let all: &[f64] = if most / least < 1.7 {
        &[0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]
    } else if most / least < 2.8 {
        &[0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2]
    } else if most / least < 5.0 {
        &[0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 4.0]
    } else {
        &[0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    };
    let within = all.iter().filter(|tick| (least..=most).contains(*tick));
    within.copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_between_the_ends() {
        let axis = Axis::logarithmic((1.0, 100.0), (200.0, 0.0));
        assert_eq!(
            [0.5, 1.0, 10.0, 100.0, 500.0].map(|v| axis.at(v)),
            [200.0, 200.0, 100.0, 0.0, 0.0]
        );
        assert!(axis.has(1.0) && axis.has(100.0) && !axis.has(101.0));
        let axis = Axis::linear((0.0, 4.0), (10.0, 50.0));
        assert_eq!(axis.at(1.0), 20.0);
    }

    #[test]
    fn there_are_some_ticks_and_not_many() {
        assert_eq!(latency_ticks(3.0, 60.0), [5.0, 10.0, 20.0, 50.0]);
        assert_eq!(
            latency_ticks(0.8, 12_000.0),
            [1.0, 10.0, 100.0, 1_000.0, 10_000.0]
        );
        for most in [1.2, 1.6, 2.5, 4.0, 8.5] {
            let ticks = ratio_ticks(0.8, most);
            assert!(
                (2..=10).contains(&ticks.len()) && ticks.contains(&1.0),
                "{ticks:?}"
            );
        }
    }
}
