import { useEffect, useState, type RefObject } from "react";

export const ROW_PX = 68; // three lines
export const SHORT_ROW_PX = 34; // one line, where all texts are short
export const EDIT_PX = 236;
const BEYOND = 6; // rows that are drawn above and below what can be seen

/**
 * Which rows of many are drawn: those in sight and a few around them. All are `rowPx` high but the one under edit.
 * `places` counts the rows that are shown, `editedPlace` says which of them is under edit.
 */
export function useVisible(
  frame: RefObject<HTMLElement | null>,
  places: number,
  editedPlace: number | undefined,
  rowPx: number,
) {
  const [view, setView] = useState({ top: 0, height: 600 });
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const look = () => setView({ top: element.scrollTop, height: element.clientHeight });
    look();
    element.addEventListener("scroll", look, { passive: true });
    const observer = new ResizeObserver(look);
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      observer.disconnect();
    };
  }, [frame]);
  const isBehindEdit = (place: number) => editedPlace !== undefined && place > editedPlace;
  const topOf = (place: number) => place * rowPx + (isBehindEdit(place) ? EDIT_PX - rowPx : 0);
  const first = Math.max(0, Math.floor(view.top / rowPx) - BEYOND - (editedPlace === undefined ? 0 : 3));
  const last = Math.min(places - 1, Math.ceil((view.top + view.height) / rowPx) + BEYOND);
  return { first, last, topOf, height: topOf(places) };
}
