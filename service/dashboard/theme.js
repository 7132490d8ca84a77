// Runs before the first paint, so that a chosen colour scheme does not flash. Not a module for that reason.
document.documentElement.dataset.theme = localStorage.getItem("traind.theme") || "auto";
