//! The plot, as SVG: both axes logarithmic.

use std::fmt::Write as _;

use rollout_tests::many::Report;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
/// Room for the labels.
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 50.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 20.0;
/// From one to ten thousand rollouts.
const DECADES: i32 = 4;
/// From ten seconds to 100,000.
const FROM: i32 = 1;
const TO: i32 = 5;

fn x(many: f64) -> f64 {
    LEFT + many.max(1.0).log10() / f64::from(DECADES) * (WIDTH - LEFT - RIGHT)
}

fn y(seconds: f64) -> f64 {
    let share = (seconds.max(10.0).log10() - f64::from(FROM)) / f64::from(TO - FROM);
    HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
}

/// One line of the plot.
fn line(svg: &mut String, place: usize, (name, colour, dash): (&str, &str, &str), points: &[(f64, f64)]) {
    let path: Vec<String> = points
        .iter()
        .map(|(many, seconds)| format!("{:.1},{:.1}", x(*many), y(*seconds)))
        .collect();
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>",
        path.join(" ")
    );
    for (many, seconds) in points {
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
            x(*many),
            y(*seconds)
        );
    }
    #[expect(clippy::cast_precision_loss, reason = "there are three")]
    let row = TOP + 12.0 + place as f64 * 18.0;
    let _ = writeln!(
        svg,
        "<line x1=\"{0:.1}\" y1=\"{1:.1}\" x2=\"{2:.1}\" y2=\"{1:.1}\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>\
         <text x=\"{3:.1}\" y=\"{4:.1}\">{name}</text>",
        LEFT + 12.0,
        row,
        LEFT + 40.0,
        LEFT + 46.0,
        row + 4.0
    );
}

#[expect(clippy::cast_precision_loss, reason = "ten thousand at most")]
pub(crate) fn of(shared: &[Report], apart: &[Report]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">Time until all are released, in the simulated world</text>\n"
    );
    for decade in 0..=DECADES {
        let at = x(10_f64.powi(decade));
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{0:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"{1:.1}\" text-anchor=\"middle\">{2}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0,
            10_u64.pow(u32::try_from(decade).unwrap_or_default())
        );
    }
    for decade in FROM..=TO {
        let at = y(10_f64.powi(decade));
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{0:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"end\">{3} s</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0,
            10_u64.pow(u32::try_from(decade).unwrap_or_default())
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">rollouts at once</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0
    );
    let took = |reports: &[Report]| -> Vec<(f64, f64)> {
        reports
            .iter()
            .map(|r| (r.many as f64, r.took.as_secs_f64()))
            .collect()
    };
    let alone = shared.first().map(|one| one.took).unwrap_or_default();
    let floor: Vec<_> = shared
        .iter()
        .map(|r| (r.many as f64, (r.floor() + alone).as_secs_f64()))
        .collect();
    line(
        &mut svg,
        0,
        ("the buckets' floor and one rollout alone", "#888", "6 4"),
        &floor,
    );
    line(
        &mut svg,
        1,
        ("with a shared observer", "#1a7f37", ""),
        &took(shared),
    );
    line(
        &mut svg,
        2,
        ("each for itself (not all of them released)", "#cf222e", "2 3"),
        &took(apart),
    );
    svg.push_str("</svg>\n");
    svg
}
