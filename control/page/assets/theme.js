// The theme: what the system prefers, or what was chosen here, which this browser remembers. A script
// that runs before the page is drawn, so that a dark page never flashes white.
{
  const key = "relinkd.theme";
  const root = document.documentElement;

  /** What was chosen; "auto" also where the browser lets nothing be remembered. */
  const chosen = () => {
    try {
      const theme = localStorage.getItem(key);
      return theme === "light" || theme === "dark" ? theme : "auto";
    } catch {
      return "auto";
    }
  };

  /** Shows a theme; page.css does the rest. */
  const show = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
  };

  show(chosen());
  addEventListener("DOMContentLoaded", () => {
    const control = document.getElementById("theme");
    control.value = chosen();
    control.addEventListener("change", () => {
      show(control.value);
      try {
        localStorage.setItem(key, control.value);
      } catch {
        // It holds until the page is left.
      }
    });
    // Another window of the same page has chosen.
    addEventListener("storage", (event) => {
      if (event.key !== key) return;
      control.value = chosen();
      show(control.value);
    });
  });
}
