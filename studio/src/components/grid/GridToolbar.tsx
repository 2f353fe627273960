import { Button, Toolbar } from "react-aria-components";
import { text } from "../../text/en";
import type { Grid } from "./useGrid";

type Props = {
  grid: Grid;
  isFiltered: boolean;
  find: () => void;
  isEmpty: boolean;
  focusGrid: () => void;
};

/** Buttons for everything that keys do in the grid. */
export function GridToolbar({ grid, isFiltered, find, isEmpty, focusGrid }: Props) {
  const buttons: [string, () => void, boolean][] = [
    [text.grid.add, grid.add, false],
    [text.grid.edit, () => grid.edit(grid.cursor.row), isEmpty],
    [text.grid.duplicate, grid.duplicate, isEmpty],
    [
      text.grid.remove,
      () => {
        grid.remove();
        focusGrid();
      },
      isEmpty,
    ],
    [isFiltered ? text.grid.showAll : text.grid.find, find, isEmpty],
    [text.grid.unique, grid.removeDoubles, isEmpty],
  ];
  return (
    <Toolbar className="row toolbar" aria-label={text.grid.label}>
      {buttons.map(([label, act, isDisabled]) => (
        <Button key={label} className="button small-button" onPress={act} isDisabled={isDisabled}>
          {label}
        </Button>
      ))}
      {grid.selected.size > 0 && <span className="small soft">{text.grid.selected(grid.selected.size)}</span>}
    </Toolbar>
  );
}
