import { useEffect, useState } from "react";
import { text } from "../text/en";

const KEY = "tunery-theme";
const CHOICES = ["system", "light", "dark"] as const;

/** Light, dark, or as the system says; remembered in this browser. */
export function ThemeSwitch() {
  const [theme, setTheme] = useState(() => localStorage.getItem(KEY) ?? "system");
  useEffect(() => {
    localStorage.setItem(KEY, theme);
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
  return (
    <label className="field small">
      {text.theme.label}
      <select className="select" value={theme} onChange={(event) => setTheme(event.target.value)}>
        {CHOICES.map((choice) => (
          <option key={choice} value={choice}>
            {text.theme[choice]}
          </option>
        ))}
      </select>
    </label>
  );
}
