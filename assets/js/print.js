// Paper is white: a page that is read in the dark is printed in the light, and is dark again afterwards.
const paper = window.matchMedia("print");
let shown = null;
paper.addEventListener("change", () => {
  const page = document.documentElement;
  if (paper.matches) {
    shown = page.dataset.theme;
    page.dataset.theme = "light";
  } else if (shown) {
    page.dataset.theme = shown;
  }
});
