// Writes the files of SheetJS, ExcelJS and Papa Parse; called by make_sheets.py with the texts and the folder.
"use strict";
const fs = require("fs");
const path = require("path");
const XLSX = require("xlsx");
const ExcelJS = require("exceljs");
const Papa = require("papaparse");

const texts = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const target = (name) => path.join(process.argv[3], name);

function sheetjs(name, rows, bookType, options = {}, change = () => {}) {
  const sheet = XLSX.utils.aoa_to_sheet([["text", "label"], ...rows]);
  const book = XLSX.utils.book_new();
  XLSX.utils.book_append_sheet(book, sheet, "Data");
  change(sheet, book);
  fs.writeFileSync(target(name), XLSX.write(book, { bookType, type: "buffer", ...options }));
}

function withSheetJS() {
  for (const [name, rows, type] of [
    ["sheetjs-tickets.xlsx", "tickets", "xlsx"],
    ["sheetjs-answers.xlsx", "answers", "xlsx"],
    ["sheetjs-tickets.xls", "tickets", "biff8"],
    ["sheetjs-biff5.xls", "tickets", "biff5"],
    ["sheetjs-biff2.xls", "tickets", "biff2"],
    ["sheetjs-emoji.ods", "emoji", "ods"],
    ["sheetjs-flat.fods", "tickets", "fods"],
    ["sheetjs-2003.xls", "cities", "xlml"],
    ["sheetjs-page.xls", "tickets", "html"],
    ["sheetjs-binary.xlsb", "tickets", "xlsb"],
    ["sheetjs-link.slk", "tickets", "sylk"],
    ["sheetjs-data.dif", "tickets", "dif"],
    ["sheetjs-answers.csv", "answers", "csv"],
    ["sheetjs-chinese.txt", "chinese", "txt"],
  ])
    sheetjs(name, texts[rows], type);
  sheetjs("sheetjs-shared-strings.xlsx", texts.tickets, "xlsx", { bookSST: true, compression: true });
  sheetjs("sheetjs-hidden.xlsx", texts.tickets, "xlsx", {}, (sheet) => {
    sheet["!rows"] = [];
    for (const row of [2, 3, 8]) sheet["!rows"][row] = { hidden: true };
  });
  sheetjs("sheetjs-formats.xlsx", [], "xlsx", {}, (sheet) => {
    texts.formats.forEach(([text, value, format], i) => {
      sheet[`A${i + 2}`] = { t: "s", v: text };
      sheet[`B${i + 2}`] = { t: "n", v: value, z: format };
    });
    sheet["!ref"] = `A1:B${texts.formats.length + 1}`;
  });
  sheetjs("sheetjs-formulas.xlsx", texts.tickets, "xlsx", {}, (sheet) => {
    texts.tickets.forEach(([, label], i) => {
      sheet[`B${i + 2}`] = { t: "s", v: label, f: `LOWER("${label.toUpperCase()}")` };
    });
  });
  const records = XLSX.utils.sheet_to_json(XLSX.utils.aoa_to_sheet([["text", "label"], ...texts.tickets]));
  fs.writeFileSync(target("sheetjs-rows.json"), JSON.stringify(records, null, 2));
}

async function exceljs(name, rows, change = () => {}) {
  const book = new ExcelJS.Workbook();
  book.created = book.modified = new Date(0);
  const sheet = book.addWorksheet("Data");
  sheet.addRows([["text", "label"], ...rows]);
  change(sheet, book);
  await book.xlsx.writeFile(target(name));
}

async function withExcelJS() {
  const { tickets, answers, cities } = texts;
  await exceljs("exceljs-answers.xlsx", answers);
  await exceljs("exceljs-rich-text.xlsx", tickets, (sheet) => {
    tickets.forEach(([text], i) => {
      const richText = [{ text: text.slice(0, 6), font: { bold: true } }, { text: text.slice(6) }];
      sheet.getCell(i + 2, 1).value = { richText };
    });
  });
  await exceljs("exceljs-notes.xlsx", tickets, (sheet) => {
    sheet.getCell("B3").note = "please check this one";
  });
  await exceljs("exceljs-hidden-rows.xlsx", tickets, (sheet) => {
    for (const row of [3, 4, 9]) sheet.getRow(row).hidden = true;
  });
  await exceljs("exceljs-hidden-column.xlsx", [], (sheet) => {
    sheet.getRow(1).values = ["text", "answer", "label"];
    sheet.addRows(tickets.map(([text, label]) => [text, "draft, do not use", label]));
    sheet.getColumn(2).hidden = true;
  });
  await exceljs("exceljs-table.xlsx", [], (sheet) => {
    sheet.spliceRows(1, 1);
    const columns = [{ name: "question", filterButton: true }, { name: "answer" }];
    sheet.addTable({ name: "Tickets", ref: "B3", headerRow: true, columns, rows: cities });
  });
  await exceljs("exceljs-formula-results.xlsx", tickets, (sheet) => {
    tickets.forEach(([, label], i) => {
      sheet.getCell(i + 2, 2).value = { formula: `LOWER("${label.toUpperCase()}")`, result: label };
    });
  });
  await exceljs("exceljs-links.xlsx", tickets, (sheet) => {
    tickets.forEach(([text], i) => {
      sheet.getCell(i + 2, 1).value = { text, hyperlink: `https://example.com/tickets/${i + 1}` };
    });
  });
  await exceljs("exceljs-dates.xlsx", [], (sheet) => {
    texts.days.forEach(([text, day], i) => {
      sheet.getCell(i + 2, 1).value = text;
      sheet.getCell(i + 2, 2).value = new Date(`${day}T00:00:00Z`);
      sheet.getCell(i + 2, 2).numFmt = "yyyy-mm-dd";
    });
  });
  await exceljs("exceljs-merged-title.xlsx", [], (sheet) => {
    sheet.spliceRows(1, 1);
    sheet.addRows([["Tickets of May"], ["printed on 2 June"], [], ["Ticket text", "Team"], ...tickets]);
    sheet.mergeCells("A1:B1");
  });
  const csv = new ExcelJS.Workbook();
  csv.addWorksheet("Data").addRows([["text", "label"], ...answers]);
  await csv.csv.writeFile(target("exceljs-answers.csv"));
  const stream = new ExcelJS.stream.xlsx.WorkbookWriter({ filename: target("exceljs-stream.xlsx") });
  const sheet = stream.addWorksheet("Data");
  for (const row of [["text", "label"], ...tickets]) sheet.addRow(row).commit();
  await stream.commit();
}

function withPapa() {
  const { tickets, answers } = texts;
  const objects = answers.map(([question, answer]) => ({ question, answer }));
  fs.writeFileSync(target("papaparse-objects.csv"), Papa.unparse(objects, { quotes: true }));
  fs.writeFileSync(target("papaparse-semicolon.csv"), Papa.unparse(tickets, { delimiter: ";" }));
}

withSheetJS();
withPapa();
withExcelJS();
