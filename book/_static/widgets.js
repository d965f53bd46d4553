// Runs before the scripts of ipywidgets, only on pages with a widget.

// The theme's Font Awesome would replace the icons inside the buttons of a `Play` widget, which then
// cannot find them; told not to watch, it leaves them alone.
window.FontAwesomeConfig = { observeMutations: false };

// The widgets look for their icon fonts below this address; without it, beside the page.
window.require = {
  paths: { "@jupyter-widgets/html-manager/dist": document.currentScript.dataset.widgets },
};

// The widgets ask MathJax to typeset their labels as its version 2 wanted to be asked. The page has version 3.
window.addEventListener("load", () => {
  if (!window.MathJax || window.MathJax.Hub) return;
  window.MathJax.Hub = {
    Queue: ([, , element]) => {
      if (/\$|\\\(/.test(element?.textContent ?? "")) {
        window.MathJax.startup.promise.then(() => window.MathJax.typesetPromise([element]));
      }
    },
  };
});
