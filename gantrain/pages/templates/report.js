const slider = document.getElementById("time"), picture = document.getElementById("grid");
const label = document.getElementById("when");
const sources = [...document.getElementById("grids")?.content.querySelectorAll("img") ?? []];
slider?.addEventListener("input", () => {
  const chosen = sources[slider.value];
  picture.src = chosen.src; picture.alt = label.textContent = chosen.alt;
});
// The values of all curves of a chart at the pointer.
for (const figure of document.querySelectorAll(".charts figure")) {
  const svg = figure.querySelector("svg"), output = figure.querySelector("output");
  const curves = [...svg.querySelectorAll("polyline")].map(line => ({
    name: line.dataset.name,
    places: line.getAttribute("points").trim().split(" ").map(pair => +pair.split(",")[0]),
    values: line.dataset.values.split(" ").map(pair => pair.split(",")),
  }));
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const texts = curves.map(({name, places, values}) => {
      let best = 0;
      places.forEach((place, i) => { if (Math.abs(place - x) < Math.abs(places[best] - x)) best = i; });
      return `${name} ${values[best][1]} at ${values[best][0]} kimg`;
    });
    output.textContent = texts.join(", ");
  });
  svg.addEventListener("pointerleave", () => { output.textContent = ""; });
}
