from tests.results import synthetic

from recface.cli.program import main


def test_the_page_of_a_run_and_of_results(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = synthetic.make_run(tmp_path / "runs", "sir", 0, 0.6)
    assert main(["report", str(run)]) == 0 and "sir seed 0" in (tmp_path / "report.html").read_text()
    assert main(["report", str(run), "--watch", "--out", "watched.html"]) == 0
    assert (tmp_path / "watched.html").is_file()
    assert main(["report"]) == 0 and "sir seed 0" in (tmp_path / "results" / "report.html").read_text()
    assert main(["report", "--watch"]) == 1
    assert "--watch follows runs" in capsys.readouterr().err
    assert main(["report", "nowhere"]) == 1
    assert "nowhere: no run here" in capsys.readouterr().err


def test_tables_write_the_page_beside_them(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    synthetic.make_run(tmp_path / "runs", "sir", 0, 0.6)
    assert main(["tables"]) == 0 and "results/report.html" in capsys.readouterr().out
    assert "sir seed 0" in (tmp_path / "results" / "report.html").read_text()
