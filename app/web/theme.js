// A classic script in the head: the chosen theme is set before the first paint.
try {
  const theme = localStorage.getItem("grounded.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // no storage: the system's theme
}
