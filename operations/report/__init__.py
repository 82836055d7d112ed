"""The report: one page about a deployment. Asks AWS, draws charts and lays out the page. Changes nothing."""
