const slider = document.getElementById("time"), picture = document.getElementById("grid");
const label = document.getElementById("when");
const sources = [...document.getElementById("grids")?.content.querySelectorAll("img") ?? []];
slider?.addEventListener("input", () => {
  const chosen = sources[slider.value];
  picture.src = chosen.src; picture.alt = label.textContent = chosen.alt;
});
