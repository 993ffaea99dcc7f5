const figures = {{ figures | tojson }};
const dark = matchMedia("(prefers-color-scheme: dark)");
function draw() {
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  for (const [name, figure] of Object.entries(figures)) {
    const place = document.getElementById(name);
    const layout = {...figure.layout, font: {...figure.layout.font, color: ink}};
    if (place) Plotly.react(place, figure.data, layout, {responsive: true, displayModeBar: false});
  }
}
draw();
dark.addEventListener("change", draw);
