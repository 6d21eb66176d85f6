// The theme's Font Awesome replaces <i> by <svg>; widgets look for their <i>. Nested, both stay.
window.FontAwesomeConfig = { autoReplaceSvg: "nest" };

// Widgets that hold HTML ask for it to be typeset in the manner of MathJax 2; the book has MathJax 3.
document.addEventListener("DOMContentLoaded", () => {
  if (window.MathJax) {
    window.MathJax.Hub = { Queue: ([, , node]) => window.MathJax.typesetPromise?.([node]) };
  }
});
