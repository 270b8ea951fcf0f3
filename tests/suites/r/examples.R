# Rscript examples.R make PACKAGE DIR: the examples of the package's help pages as DIR/TOPIC.R.
# Rscript examples.R run DIR OUT [TOPIC...]: runs them, each with its output in OUT/TOPIC.out; lines with @@ say how each ended.
args <- commandArgs(TRUE)
if (args[1] == "make") {
	pages <- tools::Rd_db(args[2])
	for (name in names(pages))
		tools::Rd2ex(pages[[name]], file.path(args[3], sub("[.]Rd$", ".R", name)), defines = "unix")
} else {
	files <- file.path(args[2], paste0(args[-(1:3)], ".R"))
	if (length(args) == 3) files <- list.files(args[2], "[.]R$", full.names = TRUE)
	library(args_package <- basename(args[2]), character.only = TRUE)
	pdf(NULL)
	grDevices::dev.control("enable")
	start <- options()
	where <- getwd()
	base <- search()
	for (f in files) {
		topic <- sub("[.]R$", "", basename(f))
		cat(paste0("@@ ", topic, " hang\n"))
		out <- file(file.path(args[3], paste0(topic, ".out")), "w")
		sink(out); sink(out, type = "message")
		set.seed(1)
		verdict <- tryCatch({ source(f, local = new.env(parent = globalenv()), echo = TRUE, max.deparse.length = Inf, keep.source = FALSE); "ok" },
			error = function(e) { cat("error: ", conditionMessage(e), "\n"); "error" })
		while (sink.number() > 1) sink()
		sink(type = "message"); sink()
		close(out)
		# As found: what an example opens, attaches and sets is gone before the next.
		for (con in setdiff(getAllConnections(), 0:2)) try(close(getConnection(con)), silent = TRUE)
		for (p in setdiff(search(), base)) try(detach(p, character.only = TRUE), silent = TRUE)
		while (dev.cur() > 1 && length(dev.list()) > 1) dev.off()
		if (is.null(dev.list())) pdf(NULL)
		options(start); setwd(where); RNGkind("default", "default", "default"); setTimeLimit()
		cat(paste0("@@ ", topic, " ", verdict, "\n"))
	}
	cat("@@ end ok\n")
}
