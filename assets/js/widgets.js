// The theme's Font Awesome replaces <i> by <svg>; widgets look for their <i>. Nested, both stay.
window.FontAwesomeConfig = { autoReplaceSvg: "nest" };

// Widgets that hold HTML ask for it to be typeset in the manner of MathJax 2; the book has MathJax 3.
document.addEventListener("DOMContentLoaded", () => {
  if (window.MathJax) {
    window.MathJax.Hub = { Queue: ([, , node]) => window.MathJax.typesetPromise?.([node]) };
  }
});

// Controls come without the names and states that a screen reader speaks. They are drawn late and redrawn, so watch them.
function describe() {
  const set = (node, name, value) => { if (node.getAttribute(name) !== value) node.setAttribute(name, value); };
  for (const slider of document.querySelectorAll(".widget-slider")) {
    const handle = slider.querySelector("[role=slider]");
    if (!handle) continue;
    set(handle, "aria-label", slider.querySelector(".widget-label")?.textContent ?? "");
    set(handle, "aria-valuetext", slider.querySelector(".widget-readout")?.textContent ?? "");
  }
  for (const group of document.querySelectorAll(".widget-toggle-buttons")) {
    set(group, "role", "group");
    set(group, "aria-label", group.querySelector(".widget-label")?.textContent ?? "");
    for (const button of group.querySelectorAll("button")) {
      set(button, "aria-pressed", String(button.classList.contains("mod-active")));
    }
  }
  for (const frame of document.querySelectorAll(".book-frame")) set(frame, "aria-live", "polite");
}
document.addEventListener("DOMContentLoaded", () => {
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; describe(); });
  };
  new MutationObserver(soon).observe(document.body,
    { subtree: true, childList: true, attributes: true, attributeFilter: ["class", "aria-valuenow"] });
});
